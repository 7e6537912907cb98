"""Running a notebook: its parameters, the kernel, the record it leaves, the code it depends on, its committed form."""
