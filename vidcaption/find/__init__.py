"""Finding moments: an index of captions in one SQLite file, its updates, and the search."""
