"""S3 unauthorized model ownership: models stolen by their answers, and how an owner proves it."""
