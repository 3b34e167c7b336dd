"""Folders of images, and .zip archives of them."""
