# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for Backblaze B2: an HTTP server that speaks B2's native API, for tests only.

The specification is Backblaze's documentation of the B2 Native API, as its two clients use it:
rclone's b2 backend and b2sdk.
"""
