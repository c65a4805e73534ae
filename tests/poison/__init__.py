"""A worker with one insight more than the real one: it does to its process what the samples say."""
