"""Other people's ways to do the same; a package is imported when it takes part."""
