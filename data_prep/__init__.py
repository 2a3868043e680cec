"""From audio to records: corpora, clips, builds and their verification."""
