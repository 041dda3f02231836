import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.Timer;
import java.util.TimerTask;

public class FollowStream {
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private static String lastId = "";
    private static volatile long heard;

    public static void main(String[] arguments) throws InterruptedException {
        var client = HttpClient.newHttpClient();
        while (true) {
            try {
                follow(client, URI.create(arguments[0]));
            } catch (IOException problem) {
                System.err.println("again in 2 seconds: " + problem);
            }
            Thread.sleep(2000);
        }
    }

    private static void follow(HttpClient client, URI url) throws IOException, InterruptedException {
        var request = HttpRequest.newBuilder(url);
        if (!lastId.isEmpty()) request.header("Last-Event-ID", lastId);
        var response = client.send(request.build(), BodyHandlers.ofInputStream());
        if (response.statusCode() == 204) System.exit(0); // The range up to `until` is finished.
        var timer = new Timer(true);
        heard = System.nanoTime();
        try (var body = response.body(); var lines = new BufferedReader(new InputStreamReader(body, StandardCharsets.UTF_8))) {
            if (response.statusCode() != 200) throw new IOException(lines.readLine());
            // Heartbeats come every 15 seconds: after a minute without one, the connection is dead.
            timer.schedule(new TimerTask() {
                public void run() {
                    try {
                        if (System.nanoTime() - heard > 60e9) body.close();
                    } catch (IOException ignored) {
                    }
                }
            }, 5000, 5000);
            String line, event = "", id = "", data = "";
            while ((line = lines.readLine()) != null) {
                heard = System.nanoTime();
                if (line.startsWith("event: ")) event = line.substring(7);
                else if (line.startsWith("id: ")) id = line.substring(4);
                else if (line.startsWith("data: ")) data = line.substring(6);
                else if (line.isEmpty()) {
                    if (event.equals("message")) OUT.println(data);
                    lastId = id;
                    event = "";
                }
            }
        } finally {
            timer.cancel();
        }
    }
}
