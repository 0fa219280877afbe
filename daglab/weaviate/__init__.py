"""The Weaviate collections that pipelines fill: asked, copied, migrated, looked after over REST."""
