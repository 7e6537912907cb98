"""VisDA-17, classification: 152,397 renders of 3D models (`train`) and 55,388 photos cropped from COCO (`validation`), 12 classes.

Peng, Usman, Kaushik, Hoffman, Wang and Saenko, "VisDA: The Visual Domain Adaptation Challenge", 2017, arXiv 1710.06924. Labels are those
of `image_list.txt`. Images of each class: `validation` counted from the list of CDAN (github.com/thuml/CDAN, commit c904cd3), `train` as
public code has them, with the sum that every paper gives. Accuracy is the mean over classes. Terms: non-commercial research and education,
no redistribution of images.
"""

from aa_utils.benchmarks import Target, _check
from aa_utils.benchmarks._photos import Domain, Photos

# folder: name in prompts; images of train, validation
CLASSES = {
    "aeroplane": ("airplane", 14309, 3646),
    "bicycle": ("bicycle", 7365, 3475),
    "bus": ("bus", 16640, 4690),
    "car": ("car", 12800, 10401),
    "horse": ("horse", 9512, 4691),
    "knife": ("knife", 14240, 2075),
    "motorcycle": ("motorcycle", 17360, 5796),
    "person": ("person", 12160, 4000),
    "plant": ("potted plant", 10731, 4549),
    "skateboard": ("skateboard", 11680, 2281),
    "train": ("train", 16000, 4236),
    "truck": ("truck", 9600, 5548),
}
TRAIN, VALIDATION = (tuple(about[column] for about in CLASSES.values()) for column in (1, 2))

PHOTOS = Photos(
    name="visda17",
    title="VisDA-17",
    source="http://csr.bu.edu/ftp/visda17/clf/ (train.tar, validation.tar; non-commercial research, see "
    "https://github.com/VisionLearningGroup/taskcv-2017-public/tree/master/classification)",
    layout="visda17/validation/aeroplane/aeroplane_1363018.jpg and visda17/validation/image_list.txt, …",
    classes={folder: about[0] for folder, about in CLASSES.items()},
    domains=(
        Domain("train", "S", "synthetic renders, 152,397", TRAIN, ("synthetic", "T")),  # type: ignore[arg-type]
        Domain("validation", "R", "photos, 55,388", VALIDATION, ("real", "val", "V")),  # type: ignore[arg-type]
    ),
    lists=("{folder}/image_list.txt",),
)
CLASS_NAMES = PHOTOS.class_names


def load(domain: str = "", size: int = 224) -> Target:
    """The domain `train` (renders) or `validation` (photos). Errors: InputError with all that is wrong with its folder."""
    return _check.target(PHOTOS, domain, size)


def report(domain: str) -> _check.Report:
    """Counts of each class, and all that is wrong with the domain's folder."""
    return _check.report(PHOTOS, domain)
