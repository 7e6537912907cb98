"""Office-31: 4,110 pictures of 31 things of an office, from amazon.com (on white), a DSLR camera and a webcam.

Saenko, Kulis, Fritz and Darrell, "Adapting Visual Category Models to New Domains", ECCV 2010. Images of each class counted from the lists
that CDTrans trains on (github.com/CDTrans/CDTrans, commit e390076, data/office31). No licence is stated; the pictures of amazon are the
shop's.
"""

from aa_utils.benchmarks import Target, _check
from aa_utils.benchmarks._photos import Domain, Photos

# folder: name in prompts; images of amazon, dslr, webcam. Names are chosen to mean one thing: a mouse is an animal to a text encoder.
CLASSES = {
    "back_pack": ("backpack", 92, 12, 29),
    "bike": ("bicycle", 82, 21, 21),
    "bike_helmet": ("bike helmet", 72, 24, 28),
    "bookcase": ("bookcase", 82, 12, 12),
    "bottle": ("bottle", 36, 16, 16),
    "calculator": ("calculator", 94, 12, 31),
    "desk_chair": ("desk chair", 91, 13, 40),
    "desk_lamp": ("desk lamp", 97, 14, 18),
    "desktop_computer": ("desktop computer", 97, 15, 21),
    "file_cabinet": ("filing cabinet", 81, 15, 19),
    "headphones": ("pair of headphones", 99, 13, 27),
    "keyboard": ("computer keyboard", 100, 10, 27),
    "laptop_computer": ("laptop computer", 100, 24, 30),
    "letter_tray": ("letter tray", 98, 16, 19),
    "mobile_phone": ("mobile phone", 100, 31, 30),
    "monitor": ("computer monitor", 99, 22, 43),
    "mouse": ("computer mouse", 100, 12, 30),
    "mug": ("mug", 94, 8, 27),
    "paper_notebook": ("paper notebook", 96, 10, 28),
    "pen": ("pen", 95, 10, 32),
    "phone": ("desk telephone", 93, 13, 16),
    "printer": ("printer", 100, 15, 20),
    "projector": ("projector", 98, 23, 30),
    "punchers": ("hole puncher", 98, 18, 27),
    "ring_binder": ("ring binder", 90, 10, 40),
    "ruler": ("ruler", 75, 7, 11),
    "scissors": ("pair of scissors", 100, 18, 25),
    "speaker": ("loudspeaker", 99, 26, 30),
    "stapler": ("stapler", 99, 21, 24),
    "tape_dispenser": ("tape dispenser", 96, 22, 23),
    "trash_can": ("trash can", 64, 15, 21),
}
AMAZON, DSLR, WEBCAM = (tuple(about[column] for about in CLASSES.values()) for column in (1, 2, 3))

PHOTOS = Photos(
    name="office31",
    title="Office-31",
    source="https://faculty.cc.gatech.edu/~judy/domainadapt/ (domain_adaptation_images.tar.gz; for research, no licence stated)",
    layout="office31/amazon/images/back_pack/frame_0001.jpg, …",
    classes={folder: about[0] for folder, about in CLASSES.items()},
    domains=(
        Domain("amazon", "A", "product pictures, 2,817", AMAZON),  # type: ignore[arg-type]
        Domain("dslr", "D", "camera pictures, 498", DSLR),  # type: ignore[arg-type]
        Domain("webcam", "W", "webcam pictures, 795", WEBCAM),  # type: ignore[arg-type]
    ),
)
CLASS_NAMES = PHOTOS.class_names


def load(domain: str = "", size: int = 224) -> Target:
    """The domain `amazon`, `dslr` or `webcam` (or A, D, W). Errors: InputError with all that is wrong with its folder."""
    return _check.target(PHOTOS, domain, size)


def report(domain: str) -> _check.Report:
    """Counts of each class, and all that is wrong with the domain's folder."""
    return _check.report(PHOTOS, domain)
