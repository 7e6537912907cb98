"""Your own photos: an unlabelled folder and class names in; a classifier, predictions, an estimate and a report out (notebook 90).

intake.py checks and decodes the photos once; stages.py runs the four stages on them; judge.py says how good the result is, without labels;
groups.py finds what does not fit; findings.py says what to do next; export.py and report.py write what is kept.
"""
