"""Copy-paste augmentation: composed images with several objects of a category, each referred to unambiguously.

    picture   an image with a mask per object; random crops
    cutout    objects that can be cut out of their image
    compose   cutouts pasted on background images; scenes for a prepared set or new ones in each epoch
    referents which objects are referred to, and the expressions

See Ghiasi et al. 2021, "Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation".
"""
