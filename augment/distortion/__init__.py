"""Distortion: recipes, drawing of parameters, operations and the engines that apply them, label check."""
