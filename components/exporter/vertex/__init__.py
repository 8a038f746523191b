"""A release on Vertex AI: registered, deployed, in Vector Search, or computed for every customer; and taken back.

Every step looks first for what an earlier attempt left, so that running it again goes on where that ended.
"""
