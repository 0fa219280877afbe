"""marimo's HTML as a page that shows its content by itself: what is in it, and that as safe static HTML."""
