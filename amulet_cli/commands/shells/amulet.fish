# For fish. The lines <files> and <folders> are FILES and FOLDERS of amulet_cli/base/flags.py.
function __amulet_complete
    set -l found (COMP_LINE=(commandline -cp) amulet completion query 2>/dev/null)
    set -l word (commandline -ct)
    set -l key (string match -r '^.*=|^' -- $word)
    switch "$found[1]"
        case "<files>"
            printf '%s\n' $key(__fish_complete_path (string replace -- "$key" "" $word))
        case "<folders>"
            printf '%s\n' $key(__fish_complete_directories (string replace -- "$key" "" $word) "")
        case "*"
            string trim --right -- $found
    end
end
complete -c amulet -f -a "(__amulet_complete)"
