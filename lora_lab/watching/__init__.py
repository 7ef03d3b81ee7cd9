"""A stream of dated texts, watched for sudden and slow changes."""
