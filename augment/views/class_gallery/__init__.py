"""Classes in a page: a bar for each class, or for classes of one size, which filters the images below."""
