"""VocabBuilder: train examples in, vocabularies and numeric statistics out."""
