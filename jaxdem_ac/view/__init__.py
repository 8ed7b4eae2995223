"""Pictures of runs. Needs the extra ``view``: matplotlib and Pillow."""
