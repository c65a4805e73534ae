"""Everything dies, again and again, while uploads go on: and every ECG gets its answer, once."""
