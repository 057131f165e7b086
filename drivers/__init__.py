# SPDX-License-Identifier: Apache-2.0
"""Programs that batch jobs run, and their configuration files."""
