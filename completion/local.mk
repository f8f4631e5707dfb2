# SPDX-License-Identifier: MIT
dist_bashcompletion_DATA = completion/tenpak.bash
dist_zshcompletion_DATA = completion/_tenpak
