"""Symbols: tokens with identities, lossless compression, embeddings without pretrained models."""
