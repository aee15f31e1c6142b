/usr/bin/convert -size 400x300 gradient:red-blue a.png
/usr/bin/convert a.png -resize 50% -blur 0x2 -rotate 90 b.jpg
[ "$(identify -format '%wx%h' b.jpg)" = 150x200 ]
echo done
