"""Which calls may run: rules of people, and a proof that a command only reads. Imports core alone; build.py makes gates of it."""
