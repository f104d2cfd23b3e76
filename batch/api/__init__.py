"""Every fact about the vendor's API: one row per version, what its tokens claim, and its rate window. Pure."""
