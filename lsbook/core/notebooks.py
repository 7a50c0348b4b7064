"""What a chapter's outputs and the build have agreed on."""

NARROW_SVG = "application/vnd.lsbook.narrow+svg"  # the MIME type of a figure drawn for a phone
