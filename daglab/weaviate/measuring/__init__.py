"""Figures of collections: what a server and its listener tell, looks, screens."""
