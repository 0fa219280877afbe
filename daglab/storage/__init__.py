"""Places that exports are uploaded to: buckets, containers, folders, and presigned addresses."""
