"""P1 membership inference: was this record in the model's training data?"""
