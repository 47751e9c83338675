# SPDX-License-Identifier: Apache-2.0
$ErrorActionPreference = 'Stop'
$environment = Join-Path (Split-Path -Parent $MyInvocation.MyCommand.Definition) 'environment'
Uninstall-BinFile -Name 'neurovm'
Remove-Item -Recurse -Force $environment
