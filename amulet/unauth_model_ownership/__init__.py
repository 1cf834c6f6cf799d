"""S3 unauthorized model ownership: models stolen through their answers, and how an owner proves it."""
