"""What the library costs, against floors and peers that do the same work beside it."""
