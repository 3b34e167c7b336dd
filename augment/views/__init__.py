"""Views of sources and sets for people: inspection, previews, explanations, set information."""
