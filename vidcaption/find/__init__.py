"""Finding moments: an index of captions in one SQLite file, kept up to date, and a search in it."""
