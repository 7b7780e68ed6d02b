"""Operations of the model on torch tensors: each file holds the plain reference of one operation and what is faster than it."""
