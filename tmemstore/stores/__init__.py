"""The store and its two dialects: tmem, cleancache, frontswap."""
