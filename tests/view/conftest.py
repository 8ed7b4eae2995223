"""The browser that pages are opened in."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.in_browser import started


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    driver = started(tmp_path_factory.mktemp("browser"))
    yield driver
    driver.quit()
