"""Your own photos: an unlabelled folder and class names in; a classifier, predictions, an estimate and a report out (notebook 90).

intake.py checks and decodes the photos once; stages.py runs the four stages on them, existing_images.py with images that are there already;
judge.py says how good the result is, without labels; groups.py finds what does not fit; findings.py says what to do next; export.py and
report.py write what is kept.

A person measures: audit.py draws the sample and says what marks mean for this run, interval.py how sure that is, audit_page.py puts it into
the report, mark_file.py reads what was saved there, marks.py which classes fail and get more images.
"""
