"""Looking after a project: taking away what nobody needs any more, keeping copies, bringing them back."""
