"""Everything that touches JaxDEM, and the discovery of what other distributions bring."""
