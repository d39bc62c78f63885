"""The server: a page for the browser and an HTTP API, over the same Captioner as everywhere."""
