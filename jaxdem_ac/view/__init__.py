"""Pictures and pages of runs. Pictures need the extra ``view``: matplotlib and Pillow."""
