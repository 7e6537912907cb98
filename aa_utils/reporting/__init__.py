"""From records to what people look at: tables, figures and sheets in `results/<experiment>/`.

| what | where |
|---|---|
| which runs a number comes from | `provenance` |
| tidy tables, a row a run and seed | `tables`, `benchmark_tables` and `task_tables` beside published numbers, `estimate_runs` |
| CLIP's zero-shot line | `zero_shot` |
| the paper's claims, judged | `claims` |
| how tables are printed, and the look of all figures | `layout`, `style` |
| figures and their points | `figures`, `benchmark_figures`, `estimate_figures`, `figure_data` |
| images | `image_sheets` for results, `contact_sheet` for a folder |
| the whole of one experiment | `results` |
"""
