ffmpeg -v error -f lavfi -i testsrc=duration=1:size=160x120:rate=10 -c:v mpeg4 a.avi
ffmpeg -v error -i a.avi -vf scale=80:60 b.mkv
ffprobe -v error -show_entries stream=width -of csv=p=0 b.mkv | grep -q 80
echo done
