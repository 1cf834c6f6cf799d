# For bash. The lines <files> and <folders> are FILES and FOLDERS of amulet_cli/base/flags.py.
_amulet_complete() {
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$'\n'
    local word="${line##* }" breaks="${COMP_WORDBREAKS//[^=:@,]/}" done_part=""
    # Readline replaces only what follows the last of its word breaks: offer no more than that.
    [[ -n $breaks ]] && done_part="${word%"${word##*[$breaks]}"}"
    COMPREPLY=($(COMP_LINE="$line" amulet completion query 2>/dev/null))
    case "${COMPREPLY[0]}" in  # the bash of macOS has no compopt
        "<files>") COMPREPLY=()
            compopt -o default +o nospace 2>/dev/null || COMPREPLY=($(compgen -f -- "${word#"$done_part"}")) ;;
        "<folders>") COMPREPLY=()
            compopt -o dirnames +o nospace 2>/dev/null || COMPREPLY=($(compgen -d -- "${word#"$done_part"}")) ;;
        *) COMPREPLY=("${COMPREPLY[@]#"$done_part"}") ;;
    esac
}
complete -o nospace -F _amulet_complete amulet
