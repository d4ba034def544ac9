# fish loads this file at the first Tab after `fourtuple`. The script is that of the installed version.
fourtuple completion fish | source
