"""Data at addresses (`s3://`, `gs://`, `https://`): checked for credentials, and copied once to the cache folder."""
