"""Looking closer: traces of requests, what daglab runs with, tokens counted again."""
