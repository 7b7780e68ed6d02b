"""The machine: sessions, turns, permissions, compaction, the log. Imports core only."""
