# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A house in a box: a B2 stand-in, a board with an SSD and a Docker socket, its siblings.

The demo and molecule both live in one. Every name carries the lab's kind and a hash of
the checkout's path, so that several run side by side on one machine.
"""
