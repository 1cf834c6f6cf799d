# For zsh. The lines <files> and <folders> are FILES and FOLDERS of amulet_cli/base/flags.py.
_amulet_complete() {
    local -a found
    found=("${(@f)$(COMP_LINE="${(j: :)words[1,CURRENT-1]} $PREFIX" amulet completion query 2>/dev/null)}")
    found=(${found:#})
    case "$found[1]" in
        "<files>") compset -P '*='; _files ;;
        "<folders>") compset -P '*='; _files -/ ;;
        ?*) compadd -Q -S '' -- $found ;;
    esac
}
compdef _amulet_complete amulet
