"""The schema of the control plane's database, step by step; `migrations.runner` applies it."""
